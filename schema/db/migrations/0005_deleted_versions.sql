CREATE TABLE `deleted_versions` (
	`model` text NOT NULL,
	`version` text NOT NULL,
	`deleted_at_ms` integer NOT NULL,
	PRIMARY KEY(`model`, `version`)
);
--> statement-breakpoint
ALTER TABLE `models` ADD `versions_deleted` integer DEFAULT 0 NOT NULL;