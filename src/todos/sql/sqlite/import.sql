INSERT INTO todos
    (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at, number)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
