"""Networks: built, loaded, run on a device, exported."""
