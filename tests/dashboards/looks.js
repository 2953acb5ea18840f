() => {
  // what lies upon something else, beyond the edge of the page, or is cut off
  const misplaced = () => {
    const wrong = [];
    // what lies upon the picture, and what comes up for a moment, may cover something
    const over = ".over, canvas, #veil, #said, #marked, dialog, .unseen, svg, option";
    const all = [...document.querySelectorAll("body *")].filter((part) => {
      if (part.closest(over) || part.closest(".plot > *")) return false;
      // a line of text is as high as its line, whatever the boxes of words in it are
      if (getComputedStyle(part).display === "inline") return false;
      return part.checkVisibility({ checkOpacity: true }) && part.getBoundingClientRect().width;
    });
    const name = (part) => part.id || `${part.tagName} ${part.className} ${part.textContent.trim().slice(0, 20)}`;
    const scrolls = (part) => /auto|scroll/.test(getComputedStyle(part).overflowY);
    const clips = (part) => getComputedStyle(part).overflowX !== "visible";
    const inside = (part) => {
      for (let up = part.parentElement; up; up = up.parentElement) if (scrolls(up) && up !== document.body) return true;
      return false;
    };
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is wider than the window");
    const leaves = all.filter((part) => !inside(part)
      && (!all.some((other) => other !== part && part.contains(other)) || part.matches("button, .plot")));
    const boxes = leaves.map((part) => [part, part.getBoundingClientRect()]);
    boxes.forEach(([part, a], i) => {
      if (a.left < -1 || a.right > innerWidth + 1) wrong.push(`${name(part)} is beyond the edge`);
      for (const [other, b] of boxes.slice(i + 1)) {
        if (part.contains(other) || other.contains(part)) continue;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 1) wrong.push(`${name(part)} and ${name(other)} overlap`);
      }
      // text that ends in dots can be read in its title, or elsewhere on the page
      const may = getComputedStyle(part).textOverflow === "ellipsis";
      if (!may && clips(part) && part.scrollWidth > part.clientWidth + 1 && !part.matches("input, .plot")) wrong.push(`${name(part)} is cut off`);
      for (let up = part.parentElement; up && up !== document.body; up = up.parentElement) {
        if (!clips(up)) continue;
        const box = up.getBoundingClientRect();
        if (a.bottom > box.bottom + 1 || a.right > box.right + 1) wrong.push(`${name(part)} is cut off by ${name(up)}`);
      }
    });
    return wrong;
  };

  // visible text with less contrast than WCAG 2.1 AA asks for
  const faint = () => {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (part) => {
      for (let up = part; up; up = up.parentElement) {
        const [r, g, b, a = 1] = numbers(getComputedStyle(up).backgroundColor);
        if (a === 1) return [r, g, b];
        if (a > 0) return null; // upon a picture
      }
      return [255, 255, 255];
    };
    const wrong = [];
    for (const part of document.querySelectorAll("body *")) {
      const text = [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      if (!text || !part.checkVisibility() || part.disabled || part.closest(":disabled, .over, svg, #veil, dialog:not([open])")) continue;
      const style = getComputedStyle(part), ground = behind(part);
      if (ground === null) continue;
      const [low, high] = [light(numbers(style.color)), light(ground)].sort((a, b) => a - b);
      const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      if (ratio < (large ? 3 : 4.5)) wrong.push(`${part.id || part.tagName} ${part.textContent.trim().slice(0, 20)}: ${ratio.toFixed(2)}`);
    }
    return wrong;
  };

  return { misplaced, faint };
}
