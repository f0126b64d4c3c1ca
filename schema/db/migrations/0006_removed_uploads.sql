CREATE TABLE `removed_uploads` (
	`model` text NOT NULL,
	`version` text NOT NULL,
	`held_until_ms` integer NOT NULL,
	PRIMARY KEY(`model`, `version`)
);
