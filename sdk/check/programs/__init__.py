"""What runs on the device: programs that are pushed there, or started here in a process of their own."""
