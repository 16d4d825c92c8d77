SELECT count(*), (SELECT row_count FROM ledger WHERE table_name = 'todos') FROM todos
