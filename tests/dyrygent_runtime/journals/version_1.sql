-- What the release before this one, whose tables had no version, left in a file: an open and a closed workflow.
BEGIN TRANSACTION;
CREATE TABLE dyrygent_annotations (
    workflow INTEGER NOT NULL,
    name BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (workflow, name)
);
INSERT INTO "dyrygent_annotations" VALUES(1,X'78','1');
INSERT INTO "dyrygent_annotations" VALUES(2,X'78','1');
CREATE TABLE dyrygent_calls (
    workflow INTEGER NOT NULL,
    node INTEGER NOT NULL,
    call BLOB NOT NULL,
    PRIMARY KEY (workflow, node)
);
INSERT INTO "dyrygent_calls" VALUES(1,0,X'63');
INSERT INTO "dyrygent_calls" VALUES(2,0,X'63');
CREATE TABLE dyrygent_definitions (
    workflow INTEGER NOT NULL,
    definition BLOB NOT NULL,
    PRIMARY KEY (workflow)
);
INSERT INTO "dyrygent_definitions" VALUES(1,X'646566');
INSERT INTO "dyrygent_definitions" VALUES(2,X'646566');
CREATE TABLE dyrygent_entries (
    workflow INTEGER NOT NULL,
    position INTEGER NOT NULL,
    nonce VARCHAR(32) NOT NULL,
    at_ms BIGINT NOT NULL,
    observation TEXT NOT NULL,
    PRIMARY KEY (workflow, position)
);
INSERT INTO "dyrygent_entries" VALUES(1,1,'n',1795886378612,'{"v":1,"t":"begin"}');
INSERT INTO "dyrygent_entries" VALUES(1,2,'m',1795886378628,'{"v":1,"t":"lost","a":["a",0,1],"reason":""}');
INSERT INTO "dyrygent_entries" VALUES(2,1,'n',1795886378663,'{"v":1,"t":"begin"}');
INSERT INTO "dyrygent_entries" VALUES(2,2,'m',1795886378680,'{"v":1,"t":"lost","a":["a",0,1],"reason":""}');
CREATE TABLE dyrygent_leases (
    namespace BLOB NOT NULL,
    worker BLOB NOT NULL,
    boot VARCHAR(32) NOT NULL,
    names TEXT NOT NULL,
    renewed_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    previous TEXT,
    previous_ms BIGINT,
    PRIMARY KEY (namespace, worker, boot)
);
INSERT INTO "dyrygent_leases" VALUES(X'6E',X'77','1','[[], []]',1795886378703,1795886379703,NULL,NULL);
CREATE TABLE dyrygent_marks (
    workflow INTEGER NOT NULL,
    attempt BLOB NOT NULL,
    sent INTEGER NOT NULL,
    sent_ms BIGINT,
    started_ms BIGINT,
    worker TEXT NOT NULL,
    boot TEXT NOT NULL,
    PRIMARY KEY (workflow, attempt)
);
INSERT INTO "dyrygent_marks" VALUES(1,X'302E312E61',0,NULL,1795886378643,'w','b');
INSERT INTO "dyrygent_marks" VALUES(2,X'302E312E61',0,NULL,1795886378691,'w','b');
CREATE TABLE dyrygent_results (
    workflow INTEGER NOT NULL,
    attempt BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (workflow, attempt)
);
INSERT INTO "dyrygent_results" VALUES(1,X'302E312E61',X'72');
INSERT INTO "dyrygent_results" VALUES(2,X'302E312E61',X'72');
CREATE TABLE dyrygent_workflows (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    namespace BLOB NOT NULL,
    id BLOB NOT NULL,
    incarnation VARCHAR(20) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    length INTEGER NOT NULL,
    due_ms BIGINT
);
INSERT INTO "dyrygent_workflows" VALUES(1,X'6E',X'6F70656E','1','d',1795886378612,2,4102444800000);
INSERT INTO "dyrygent_workflows" VALUES(2,X'6E',X'636C6F736564','1','d',1795886378663,2,NULL);
CREATE INDEX dyrygent_workflow_due ON dyrygent_workflows (namespace, due_ms);
CREATE UNIQUE INDEX dyrygent_workflow_ids ON dyrygent_workflows (namespace, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('dyrygent_workflows',2);
COMMIT;
