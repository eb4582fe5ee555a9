BEGIN TRANSACTION;
CREATE TABLE artefacts (
	run_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	path TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	num_bytes BIGINT NOT NULL, 
	CONSTRAINT pk_artefacts PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_artefacts_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "artefacts" VALUES('r-v1','final',1,'2026-03-01 12:00:00.000000','weights.pt','abababababababababababababababababababababababababababababababab',1090000);
CREATE TABLE attempts (
	run_id VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	owner TEXT, 
	address TEXT, 
	started_at DATETIME, 
	world_size INTEGER, 
	device TEXT, 
	first_step BIGINT, 
	training_at DATETIME, 
	state VARCHAR(16), 
	message TEXT DEFAULT '' NOT NULL, 
	ended_at DATETIME, 
	CONSTRAINT pk_attempts PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_attempts_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "attempts" VALUES('r-v1',1,'laptop:4711',NULL,'2026-03-01 13:00:00.000000',2,'H100',0,'2026-03-01 13:00:00.000000','SUCCEEDED','as told','2026-03-01 13:00:00.000000');
CREATE TABLE ensembles (
	run_id VARCHAR(64) NOT NULL, 
	event_name VARCHAR(255) NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	members JSON NOT NULL, 
	protocol VARCHAR(64) NOT NULL, 
	average VARCHAR(16) NOT NULL, 
	split VARCHAR(64) NOT NULL, 
	"select" VARCHAR(64) NOT NULL, 
	num_moved BIGINT NOT NULL, 
	errors_loss DOUBLE, 
	errors_top1_err DOUBLE NOT NULL, 
	errors_top5_err DOUBLE, 
	errors_num_images BIGINT NOT NULL, 
	CONSTRAINT pk_ensembles PRIMARY KEY (run_id, event_name), 
	CONSTRAINT fk_ensembles_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "ensembles" VALUES('r-v1','ensemble-0123456789ab-single-softmax-test',1,'2026-03-02 12:00:00.000000','["r-v1"]','single','softmax','test','final',0,0.3,7.9,0.2,10000);
CREATE TABLE epochs (
	run_id VARCHAR(64) NOT NULL, 
	epoch INTEGER NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	attempt INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	lr DOUBLE NOT NULL, 
	train_loss DOUBLE, 
	train_top1_err DOUBLE NOT NULL, 
	train_top5_err DOUBLE, 
	train_num_images BIGINT NOT NULL, 
	holdout_loss DOUBLE, 
	holdout_top1_err DOUBLE, 
	holdout_top5_err DOUBLE, 
	holdout_num_images BIGINT, 
	observed_test_loss DOUBLE, 
	observed_test_top1_err DOUBLE, 
	observed_test_top5_err DOUBLE, 
	observed_test_num_images BIGINT, 
	train_seconds DOUBLE NOT NULL, 
	images_per_second DOUBLE NOT NULL, 
	CONSTRAINT pk_epochs PRIMARY KEY (run_id, epoch), 
	CONSTRAINT fk_epochs_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "epochs" VALUES('r-v1',1,1,'2026-03-01 12:01:00.000000',1,391,0.1,0.5,59.75,0.4,50000,NULL,NULL,NULL,NULL,0.5,61.75,0.4,10000,12.5,4000.0);
INSERT INTO "epochs" VALUES('r-v1',2,1,'2026-03-01 12:02:00.000000',1,782,0.1,0.5,59.5,0.4,50000,NULL,NULL,NULL,NULL,0.5,61.5,0.4,10000,12.5,4000.0);
CREATE TABLE evaluations (
	run_id VARCHAR(64) NOT NULL, 
	protocol VARCHAR(64) NOT NULL, 
	split VARCHAR(64) NOT NULL, 
	"select" VARCHAR(64) NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	ema BOOLEAN NOT NULL, 
	step BIGINT NOT NULL, 
	errors_loss DOUBLE, 
	errors_top1_err DOUBLE NOT NULL, 
	errors_top5_err DOUBLE, 
	errors_num_images BIGINT NOT NULL, 
	CONSTRAINT pk_evaluations PRIMARY KEY (run_id, protocol, split, "select"), 
	CONSTRAINT fk_evaluations_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "evaluations" VALUES('r-v1','single','test','final',1,'2026-03-01 15:00:00.000000',0,64000,0.5,8.61,0.4,10000);
CREATE TABLE events (
	run_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_events_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "events" VALUES('r-v1','artefact-final');
INSERT INTO "events" VALUES('r-v1','attempt-001-ended');
INSERT INTO "events" VALUES('r-v1','attempt-001-started');
INSERT INTO "events" VALUES('r-v1','attempt-001-training');
INSERT INTO "events" VALUES('r-v1','epoch-00001');
INSERT INTO "events" VALUES('r-v1','epoch-00002');
INSERT INTO "events" VALUES('r-v1','evaluation-single-test-final');
INSERT INTO "events" VALUES('r-v1','run');
CREATE TABLE norms (
	run_id VARCHAR(64) NOT NULL, 
	epoch INTEGER NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	step BIGINT NOT NULL, 
	layers JSON NOT NULL, 
	CONSTRAINT pk_norms PRIMARY KEY (run_id, epoch), 
	CONSTRAINT fk_norms_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
CREATE TABLE resnet_cluster_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT resnet_cluster_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "resnet_cluster_version" VALUES('0007');
CREATE TABLE responses (
	run_id VARCHAR(64) NOT NULL, 
	event_name VARCHAR(255) NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	split VARCHAR(64) NOT NULL, 
	num_images BIGINT NOT NULL, 
	layers JSON NOT NULL, 
	CONSTRAINT pk_responses PRIMARY KEY (run_id, event_name), 
	CONSTRAINT fk_responses_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "responses" VALUES('r-v1','responses-test-10000',1,'2026-03-03 12:00:00.000000','test',10000,'[{"name": "conv1", "std": 0.5}]');
CREATE TABLE runs (
	run_id VARCHAR(64) NOT NULL, 
	storage_id INTEGER NOT NULL, 
	folder TEXT NOT NULL, 
	schema_version INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	job JSON NOT NULL, 
	dataset JSON NOT NULL, 
	num_parameters BIGINT NOT NULL, 
	flops BIGINT NOT NULL, 
	num_steps BIGINT NOT NULL, 
	steps_per_epoch BIGINT NOT NULL, 
	command TEXT NOT NULL, 
	git_commit TEXT, 
	versions JSON NOT NULL, imported JSON, seed BIGINT DEFAULT '0' NOT NULL, setup VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_runs PRIMARY KEY (run_id), 
	CONSTRAINT fk_runs_storage_id FOREIGN KEY(storage_id) REFERENCES storages (storage_id)
);
INSERT INTO "runs" VALUES('r-v1',1,'r-v1',1,'2026-03-01 12:00:00.000000','cifar10_r20','key-of-r-v1','{"name": "cifar10_r20", "seed": 0, "model": {"family": "cifar", "depth": 20, "shortcut": "A", "variant": "v1"}, "data": {"name": "cifar10", "holdout": 0, "augment": {"pad": 4, "flip": true}, "normalize": "pixel_mean"}, "train": {"global_batch_size": 128, "bn_group": 64, "epochs": null, "iterations": 64000, "lr": 0.1, "schedule": {"kind": "step", "milestones": [32000.0, 48000.0], "gamma": 0.1}, "warmup": null, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0001, "decay_bn_and_bias": true, "label_smoothing": 0.0, "ema": null, "precision": "off", "channels_last": true, "compile": false, "shortened_from": null}, "evaluate": {"protocols": ["single"], "select": "final", "observe_every": 1}, "resources": {"workers": 1, "gpu": "auto", "cpus_per_worker": 1, "checkpoint_every_steps": 0}}','{"name": "cifar10", "sha256": "c1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fa", "encoding": "png", "source": "cifar10", "num_classes": 10, "image_size": 32, "num_train_images": 50000, "num_holdout_images": 0, "num_test_images": 10000}',272474,40813184,64000,391,'resnet-cluster submit jobs/cifar10_r20.yaml','0123abc','{"torch": "2.14.1"}',NULL,0,'6ad000fc5eb0b38fc91ca97fab45e4ed51b227c5e4a283edf2f4aea0c2a64df9');
INSERT INTO "runs" VALUES('r-v5',1,'r-v5',1,'2026-03-04 12:00:00.000000','elsewhere','key-of-r-v5','{"name": "cifar10_r20", "seed": 0, "model": {"family": "cifar", "depth": 20, "shortcut": "A", "variant": "v1"}, "data": {"name": "cifar10", "holdout": 0, "augment": {"pad": 4, "flip": true}, "normalize": "pixel_mean"}, "train": {"global_batch_size": 128, "bn_group": 64, "epochs": null, "iterations": 64000, "lr": 0.1, "schedule": {"kind": "step", "milestones": [32000.0, 48000.0], "gamma": 0.1}, "warmup": null, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0001, "decay_bn_and_bias": true, "label_smoothing": 0.0, "ema": null, "precision": "off", "channels_last": true, "compile": false, "shortened_from": null}, "evaluate": {"protocols": ["single"], "select": "final", "observe_every": 1}, "resources": {"workers": 1, "gpu": "auto", "cpus_per_worker": 1, "checkpoint_every_steps": 0}}','{"name": "cifar10", "sha256": "c1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fac1fa", "encoding": "png", "source": "cifar10", "num_classes": 10, "image_size": 32, "num_train_images": 50000, "num_holdout_images": 0, "num_test_images": 10000}',272474,40813184,0,391,'resnet-cluster import resnet20.pth jobs/cifar10_r20.yaml','0123abc','{"torch": "2.14.1"}','{"file": "resnet20.pth", "format": "torch", "sha256": "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "weights_sha256": "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"}',0,'375619dc8fd6cb36ccd57d3610333802afc40cfaedd56197cf9ed0373797e8c1');
CREATE TABLE storages (
	storage_id INTEGER NOT NULL, 
	root TEXT NOT NULL, 
	CONSTRAINT pk_storages PRIMARY KEY (storage_id), 
	CONSTRAINT uq_storages_root UNIQUE (root)
);
INSERT INTO "storages" VALUES(1,'/nonexistent/runs');
CREATE INDEX ix_runs_name ON runs (name);
CREATE INDEX ix_runs_key ON runs ("key");
CREATE INDEX ix_runs_setup ON runs (setup, at, run_id, name, seed);
CREATE INDEX ix_runs_storage_id ON runs (storage_id, folder, run_id);
CREATE INDEX ix_epochs_observed ON epochs (run_id, observed_test_num_images) WHERE observed_test_num_images IS NOT NULL;
CREATE INDEX ix_events_uses ON events (run_id, name) WHERE substr(name, 1, 7) IN ('parity-', 'search-');
COMMIT;
