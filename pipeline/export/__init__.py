"""What leaves tssr: a trained model as files that need no tssr, and data sets as other systems read them."""
