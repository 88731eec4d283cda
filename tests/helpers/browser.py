"""Headless Chromium with a report open in it."""

import base64
import json
import time
from contextlib import contextmanager

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,900"),
)


@contextmanager
def sized(browser, width, height):
    """Another viewport for a while; headless windows cannot be narrower than 500 px."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


class Page:
    """A report that is open, and what it did meanwhile."""

    def __init__(self, browser, file, hash_=""):
        self._browser = browser
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get("about:blank")
        browser.get(file.as_uri() + hash_)
        self.address = file.as_uri()

    def run(self, script, *arguments):
        return self._browser.execute_script(script, *arguments)

    def find(self, selector):
        return self._browser.find_element("css selector", selector)

    def soon(self, selector, words):
        """Waits until an element's text holds these words: a new address is shown only after the click has returned."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        deadline = time.monotonic() + 20
        while words not in (shown := self.run(script, selector)):
            assert time.monotonic() < deadline, f"{selector} still shows {shown!r}, not {words!r}"
            time.sleep(0.05)

    def column(self, number):
        return self.run(
            "return [...document.querySelectorAll('#table tbody tr:not([hidden])')]"
            ".map((row) => row.cells[arguments[0]].dataset.key ?? null)",
            number,
        )

    def head(self, column):
        return self.find(f'#table th[data-column="{column}"]')

    def scheme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def print_media(self, on):
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print" if on else ""})

    def printed(self):
        """The page as a PDF."""
        made = self._browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
        return base64.b64decode(made["data"])

    def downloads_to(self, folder):
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        self._browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def downloaded(self, file):
        """The text of a file once it is there."""
        deadline = time.monotonic() + 20
        while not file.exists():
            assert time.monotonic() < deadline, f"{file.name} was not downloaded"
            time.sleep(0.05)
        return file.read_text(encoding="utf-8")

    def complaints(self):
        return [entry["message"] for entry in self._browser.get_log("browser")]

    def requests(self):
        """Every address asked for, those inside the file itself apart."""
        events = (json.loads(entry["message"])["message"] for entry in self._browser.get_log("performance"))
        asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("data:", "blob:", "about:", self.address))]
