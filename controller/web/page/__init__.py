"""The live page: what one pod believes, for a person; read-only, and whole without any script.

Promise: everything on it comes from one Snapshot by pure functions; names and texts from outside
are shown as text, whatever they hold; the browser is told to load nothing from anywhere else. What
a newcomer gets wrong: the script has no idea of the data. It replaces parts by parts that the
server has rendered, the same ones that a browser without script gets.
"""

from controller.web.page.live import ASSETS, LivePage, Parts, asset
from controller.web.page.picture import diagram_svg

__all__ = ["ASSETS", "LivePage", "Parts", "asset", "diagram_svg"]
