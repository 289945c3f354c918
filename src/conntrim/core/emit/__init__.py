"""Values to the text that the kernel's tools read; the opposite of parse."""
