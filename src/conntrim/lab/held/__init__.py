"""Every claim of `check`, its edits and `compare` held to the kernel: dialogues are played under the rules."""
