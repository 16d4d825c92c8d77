SELECT rowid FROM todos_trigrams WHERE todos_trigrams MATCH ?1 LIMIT ?2
