-- What became of TLS on the way to receiving domains, until they are told of it. They are every sender's, so they are no organization's.

-- destination and result are keyed hashes of the domain and of what the sum is of.
CREATE TABLE tls_results (
    day BIGINT NOT NULL,
    destination BIGINT NOT NULL,
    result BIGINT NOT NULL,
    result_sealed BYTEA NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (day, destination, result)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON tls_results TO sealwright_system;
