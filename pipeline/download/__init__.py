"""The download-images stage: addresses in a raw dump in, picture files out."""
