"""The kernel's data: records without behaviour, input or output."""
