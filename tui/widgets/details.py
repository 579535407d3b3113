"""The details tree: what was captured of one trace, with the norms at the cursor's token."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import CursorMoved
from tensorshark.tui.palette import Palette, palette_of
from tensorshark.tui.panes.pane import Subject
from tensorshark.tui.widgets.line import clip, fit, width_of
from tensorshark.tui.widgets.trace_tree import Node, tree


class Details(ScrollView, can_focus=True, inherit_bindings=False):
    """The tree. Moving to a layer, site or head moves the shared cursor."""

    DEFAULT_CSS = "Details { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }"

    @dataclass
    class Told(Message):
        """The chosen line's value, where the tree has no room for all of it."""

        value: str

    BINDINGS: ClassVar[list[Any]] = [
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
        Binding("pageup", "step(-10)", show=False),
        Binding("pagedown", "step(10)", show=False),
        Binding("left", "close", show=False),
        Binding("right", "open", show=False),
        Binding("enter,space", "unfold", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.subject: Subject | None = None
        self.cursor = Cursor()
        self.number = 0
        """The trace's number in the list."""
        self.nodes: list[Node] = []
        self.index = 0
        self._open = {"trace", "expert", "layer", "layers"}
        self._drawn: list[Node] = []

    def show(self, subject: Subject | None, cursor: Cursor) -> None:
        """Take a new subject or cursor; the cursor's site is chosen."""
        moved = cursor.site != self.cursor.site
        first = self.subject is None or self.subject.trace is None
        self.subject, self.cursor = subject, cursor
        self._build()
        if moved or first:
            self._choose(f"site.{cursor.site}")

    def missing(self) -> str:
        """Why there is no tree, in words; empty when there is one."""
        if self.subject is None:
            return "No trace selected."
        return "" if self.subject.trace else self.subject.problem

    @property
    def palette(self) -> Palette:
        """The colours of the theme in use."""
        return palette_of(self.app.theme)

    # Nodes

    def _build(self) -> None:
        trace = self.subject.trace if self.subject else None
        problem = self.subject.problem if self.subject else ""
        here = self.nodes[self.index].key if self.index < len(self.nodes) else ""
        self.nodes = list(tree(trace, self.number, self.cursor, self._open, problem)) if trace else []
        self.index = next((i for i, node in enumerate(self.nodes) if node.key == here), 0)
        if len(self.nodes) != self.virtual_size.height or self.virtual_size.width != self.size.width:
            self.virtual_size = Size(self.size.width, len(self.nodes))
        self._repaint()

    def _repaint(self) -> None:
        """Redraw the lines that changed."""
        if len(self._drawn) != len(self.nodes) or not self.nodes:
            self.refresh()
        else:
            for y, (old, new) in enumerate(zip(self._drawn, self.nodes, strict=True)):
                if old != new:
                    self.refresh_line(y)
        self._drawn = self.nodes

    def _choose(self, key: str) -> None:
        index = next((i for i, node in enumerate(self.nodes) if node.key == key), self.index)
        if index != self.index:
            old, self.index = self.index, index
            self.refresh_line(old)
            self.refresh_line(index)
        self._reveal()

    def _reveal(self) -> None:
        """Scroll as little as it takes to see the chosen line; not at all where there is no room yet."""
        top, height = int(self.scroll_offset.y), self.size.height
        if height and not top <= self.index < top + height:
            y = self.index if self.index < top else self.index - height + 1
            self.scroll_to(y=y, animate=False, force=True)

    # Moving

    def action_step(self, lines: int) -> None:
        """Move up or down; on a layer, site or head the shared cursor follows."""
        if not self.nodes:
            return
        index = max(0, min(len(self.nodes) - 1, self.index + lines))
        self._choose(self.nodes[index].key)
        node = self.nodes[index]
        if node.goes and node.open is None:
            self.post_message(CursorMoved(replace(self.cursor, **dict(node.goes))))
        if width_of(node.value) > self._rooms()[1]:
            self.post_message(self.Told(node.value))

    def action_open(self) -> None:
        """Open the node, or step into it when it is open."""
        if self.nodes and self.nodes[self.index].open is False:
            self.action_unfold()
        else:
            self.action_step(1)

    def action_close(self) -> None:
        """Close the node, or go to the one it is in."""
        if not self.nodes:
            return
        node = self.nodes[self.index]
        if node.open:
            self.action_unfold()
            return
        for index in range(self.index - 1, -1, -1):
            if self.nodes[index].depth < node.depth:
                self._choose(self.nodes[index].key)
                return

    def action_unfold(self) -> None:
        """Open or close the node; a layer becomes the cursor's."""
        if not self.nodes:
            return
        node = self.nodes[self.index]
        if node.open is not None:
            self._open ^= {node.key}
            self._build()
        if node.goes and node.open is not True:
            self.post_message(CursorMoved(replace(self.cursor, **dict(node.goes))))

    def on_click(self, event: events.Click) -> None:
        """Choose the line under the pointer; a click on the chosen one opens or closes it."""
        index = int(self.scroll_offset.y) + event.y
        if index >= len(self.nodes):
            return
        if index == self.index or event.x <= 2 * self.nodes[index].depth + 2:
            self._choose(self.nodes[index].key)
            self.action_unfold()
        else:
            self.action_step(index - self.index)

    # Drawing

    def on_resize(self) -> None:
        """Keep the chosen line on the screen."""
        self.virtual_size = Size(self.size.width, len(self.nodes))
        self._reveal()

    def on_focus(self) -> None:
        """The chosen line shows where the arrows act."""
        self.refresh()

    def on_blur(self) -> None:
        """The chosen line is quieter when the arrows act elsewhere."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Textual's line API: one node, name and value in two columns."""
        width, palette = self.size.width, self.palette
        words = self.missing()
        if words:
            text = _wrapped(words, max(8, width - 2), y - 1)
            return Strip([Segment(fit(" " + text, width), palette.style("dim"))]).apply_style(self.rich_style)
        index = int(self.scroll_offset.y) + y
        if index >= len(self.nodes):
            return Strip.blank(width, self.rich_style)
        node, here = self.nodes[index], index == self.index
        sign = " " if node.open is None else ("▾" if node.open else "▸")
        names, values = self._rooms()
        name = fit(node.name, max(1, names - 3 - 2 * node.depth))
        strip = Strip(
            [
                Segment(f" {'  ' * node.depth}{sign} ", palette.style("dim")),
                Segment(f"{name} ", palette.style(node.color, bold=here)),
                Segment(clip(node.value, values), palette.style("dim")),
            ]
        )
        strip = strip.adjust_cell_length(width).apply_style(self.rich_style)
        ground = palette.selected if self.has_focus else palette.resting
        return Strip(Segment.apply_style(strip, None, ground)) if here else strip

    def _rooms(self) -> tuple[int, int]:
        """Cells for signs and names, and for values."""
        names = max(15, min(22, self.size.width * 2 // 5))
        return names, max(0, self.size.width - names - 2)

    def to_text(self) -> list[str]:
        """The lines on the screen, without the blanks at their ends."""
        return [self.render_line(y).text.rstrip() for y in range(self.size.height)]


def _wrapped(words: str, width: int, index: int) -> str:
    """Line `index` of `words`, wrapped at spaces."""
    lines = textwrap.wrap(words, width)
    return lines[index] if 0 <= index < len(lines) else ""
