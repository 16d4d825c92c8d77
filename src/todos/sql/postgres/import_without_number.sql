INSERT INTO todos
    (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
SELECT id::uuid, title, title_folded, description, description_folded, deadline, status, created_at, updated_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
    AS came (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
