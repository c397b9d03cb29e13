"""Array in, array out: label assembly, MP-NMS and deduplication, in twins."""
