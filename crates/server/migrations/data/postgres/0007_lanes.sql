-- What is put off because its destination has no room gets a date from whoever leases.
GRANT UPDATE (due_at) ON jobs TO sealwright_system;
