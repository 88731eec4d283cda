"""What the hardware says about itself while networks run."""
