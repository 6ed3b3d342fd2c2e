"""What keys do on the Data screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the list.
TABLE: tuple[Action, ...] = (
    Action("data.down", "down,j", "move(1)", "Next dataset", "Move down; ↑ or k moves up.", "Move", "↑↓", False),
    Action("data.tick", "space", "screen.tick", "Tick for a mix", "Ticked datasets are used together.", "Mix"),
    Action("data.use", "enter", "choose", "Use the dataset", "Goes on to Tune; a folder is opened.", "Use"),
    Action("data.more", "plus,equals_sign", "screen.weigh(1)", "More of it", "A greater weight in the mix."),
    Action("data.less", "minus", "screen.weigh(-1)", "Less of it", "A smaller weight in the mix."),
)
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("data.next", "n", "row(1)", "Next row", "Look at the next row.", "Row", "n/p"),
    Action("data.dedupe", "d", "dedupe", "Drop duplicates", "Keep, drop exact ones, drop near ones.", "Dedupe"),
    Action("data.mapping", "e", "mapping", "Edit the mapping…", "Say which column is what.", "Mapping"),
    Action("data.tools", "T", "tools", "Tools…", "Filter, split, sample, order, convert, score.", "Tools"),
    Action("data.open", "o", "open", "Open a path…", "A file, a folder, a pattern, or several.", "Open"),
    Action("data.hub", "h", "hub", "Hugging Face…", "Fetch a dataset of the hub by its id."),
    Action("data.damaged", "x", "damaged", "Drop damaged rows", "Or refuse data that has any."),
    Action("data.folder", "f", "folder", "Folder as one set", "All files of the folder together."),
    Action("data.filter", "slash", "filter", "Filter the list", "Show only names that contain a text."),
    Action("data.previous", "p", "row(-1)", "Previous row", "Look at the row before."),
    Action("data.row", "g", "go_to", "Go to a row…", "By its number."),
    Action("data.random", "r", "random", "A random row", "Look at any row."),
    Action("data.search", "s", "search", "Search the rows…", "The next row that holds a text."),
    Action("data.again", "S", "search_again", "Search again", "The next row after this one."),
    Action("data.bad", "b", "bad", "Next bad row", "Broken, refused or cut."),
    Action("data.view", "t", "view", "Rendered, raw, tokens", "The next way to show the row."),
    Action("data.stop", "escape", "stop", "Stop", "Ends a look, a search or a job; else clears filter, then ticks."),
    Action("data.up", "backspace", "up", "Folder above", "List the folder above."),
)
ACTIONS: tuple[Action, ...] = (*TABLE, *SCREEN)
