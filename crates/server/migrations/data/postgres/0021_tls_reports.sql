-- What other mail systems report of TLS on the way to the installation's own host (RFC 8460). It is no organization's.

-- Reports that were counted. reporter is the domain that signed; report is a digest of its name for the report; day is a day since the
-- Unix epoch.
CREATE TABLE tls_reports (
    reporter TEXT NOT NULL,
    report TEXT NOT NULL,
    day BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (reporter, report)
);
CREATE INDEX tls_reports_by_day ON tls_reports (day);
CREATE INDEX tls_reports_by_arrival ON tls_reports (received_at);

-- Their sums.
CREATE TABLE tls_report_sessions (
    day BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    policy TEXT NOT NULL,
    result TEXT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (day, reporter, policy, result)
);

GRANT SELECT, INSERT, DELETE ON tls_reports TO sealwright_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON tls_report_sessions TO sealwright_system;
