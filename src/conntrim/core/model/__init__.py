"""The values that travel through conntrim: frozen, slotted, named after the kernel's own words."""
