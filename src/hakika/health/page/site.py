"""The whole published folder: what `publisher.publish` is given, and all that a web server needs."""

from hakika.health.page.calendar import calendars
from hakika.health.page.feeds import feeds
from hakika.health.page.model import StatusModel
from hakika.health.page.place import PageSettings
from hakika.health.page.render import pages


def site(model: StatusModel, settings: PageSettings) -> dict[str, bytes]:
    """Every file by its path in the folder: pages, feeds, calendars, data."""
    return {**pages(model, settings), **feeds(model, settings), **calendars(model, settings)}
