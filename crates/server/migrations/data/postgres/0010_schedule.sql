-- Mail that is to leave later.

-- When it is to leave; empty when that was at once. Its content lies at that day, so that it is not forgotten before it was sent.
ALTER TABLE emails ADD COLUMN scheduled_at BIGINT;

-- Contents need their partitions as far ahead as mail is scheduled; the others as before.
DROP FUNCTION ensure_partitions(BIGINT, BIGINT);
CREATE FUNCTION ensure_partitions(first_day BIGINT, last_day BIGINT, last_content_day BIGINT) RETURNS BIGINT
LANGUAGE plpgsql SECURITY DEFINER SET search_path = sealwright, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    parent TEXT;
    partition TEXT;
    made BIGINT := 0;
BEGIN
    IF greatest(last_day, last_content_day) - first_day > 366 THEN
        RAISE EXCEPTION 'at most 366 days at once';
    END IF;
    FOREACH parent IN ARRAY ARRAY['email_contents', 'attempts', 'events'] LOOP
        FOR day IN first_day..(CASE parent WHEN 'email_contents' THEN last_content_day ELSE last_day END) LOOP
            partition := parent || '_' || day;
            CONTINUE WHEN to_regclass(partition) IS NOT NULL;
            -- Attaching locks the parent less than creating in place does. A day that can't be made (its rows are in the default
            -- partition already, or a lock is not to be had) does not stop the others.
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)', partition, parent);
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition);
                EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, sealwright_app, sealwright_system', partition);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, partition, day, day + 1);
                made := made + 1;
            EXCEPTION WHEN check_violation OR lock_not_available THEN
                RAISE WARNING 'partition % could not be made: %', partition, SQLERRM;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION ensure_partitions(BIGINT, BIGINT, BIGINT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(BIGINT, BIGINT, BIGINT) TO sealwright_system;
