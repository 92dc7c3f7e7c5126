-- What source addresses that are new were given of their days' allowances. They are the installation's.

CREATE TABLE source_days (
    day BIGINT NOT NULL,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    taken BIGINT NOT NULL,
    PRIMARY KEY (day, source, provider)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON source_days TO sealwright_system;
