-- U+10FFFF is the last character. A todo appears once for each of its trigrams with this beginning.
SELECT doc FROM todos_trigram_places WHERE term >= ?1 AND term <= ?1 || char(1114111) LIMIT ?2
