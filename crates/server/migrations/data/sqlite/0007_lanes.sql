-- What is put off because its destination has no room.
-- Nothing to change here: one login does everything in an embedded store.
SELECT 1;
