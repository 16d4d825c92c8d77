-- U+10FFFF is the last character there is. A todo comes once for each sequence that it has.
SELECT doc FROM todos_trigram_places WHERE term >= ?1 AND term <= ?1 || char(1114111) LIMIT ?2
