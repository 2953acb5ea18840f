"""Pictures in a terminal: two pixels to a character, as coloured half blocks."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from .picture import Colours, resize
from .sheet import Tile, scaled

#: Characters: a picture narrower or lower than this tells nothing.
_NARROW, _LOW = 30, 12
#: Characters of a picture at most, and of a tile.
_WIDEST, _TILE = 100, 40


def console() -> Console | None:
    """Return the terminal of stdout; None where pictures cannot be shown in it."""
    found = Console(highlight=False)
    # sixteen colours make no picture
    is_coloured = found.color_system in ("256", "truecolor")
    if not found.is_terminal or not is_coloured:
        return None
    if found.width < _NARROW or found.height < _LOW:
        return None
    return found


def show(picture: Colours, on: Console) -> None:
    """Print a picture, as large as leaves room for a few lines."""
    height, width = picture.shape[:2]
    room = (min(on.width, _WIDEST), 2 * (on.height - 8))
    factor = min(room[0] / width, room[1] / height)
    on.print(blocks(resize(picture, factor)))


def show_tiles(tiles: Sequence[Tile], on: Console) -> None:
    """Print the tiles of a sheet that have a picture, side by side."""
    cells = []
    for tile in tiles:
        picture = scaled(tile, _TILE, _TILE)
        if picture is not None:
            cells.append(Group(*_caption(tile), blocks(picture), ""))
    across = max(1, on.width // (_TILE + 2))
    grid = Table.grid(padding=(0, 2))
    for start in range(0, len(cells), across):
        grid.add_row(*cells[start : start + across])
    on.print(grid)


def _caption(tile: Tile) -> tuple[Text, Text]:
    lines = Text(tile.name, style="bold"), Text(tile.operation, style="dim")
    for line in lines:
        line.truncate(_TILE, overflow="ellipsis")
    return lines


def blocks(picture: Colours) -> Text:
    """Return a picture as lines of upper half blocks, one character to two pixels."""
    text = Text(no_wrap=True)
    for y in range(0, len(picture), 2):
        text.append("\n" if y else "")
        upper = picture[y]
        lower = picture[y + 1] if y + 1 < len(picture) else None
        for x, (b, g, r) in enumerate(upper.tolist()):
            style = f"rgb({r},{g},{b})"
            if lower is not None:
                b, g, r = lower[x].tolist()
                style += f" on rgb({r},{g},{b})"
            text.append("▀", Style.parse(style))
    return text
