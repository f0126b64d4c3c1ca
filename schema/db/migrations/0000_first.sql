CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`prefix` text NOT NULL,
	`salt` text NOT NULL,
	`hash` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	`revoked_at_ms` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_prefix` ON `api_keys` (`prefix`);--> statement-breakpoint
CREATE TABLE `artifact_versions` (
	`model` text NOT NULL,
	`version` text NOT NULL,
	`ordinal` integer NOT NULL,
	`manifest_sha256` text NOT NULL,
	`task` text NOT NULL,
	`inputs` text NOT NULL,
	`outputs` text NOT NULL,
	`labels` text,
	`bytes` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	PRIMARY KEY(`model`, `version`),
	FOREIGN KEY (`model`) REFERENCES `models`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `artifact_versions_ordinal` ON `artifact_versions` (`model`,`ordinal`);--> statement-breakpoint
CREATE TABLE `audit` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`target` text NOT NULL,
	`detail` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_at` ON `audit` (`at_ms`);--> statement-breakpoint
CREATE TABLE `levels` (
	`model` text NOT NULL,
	`version` text NOT NULL,
	`level` integer NOT NULL,
	`sparsity` real NOT NULL,
	`relative_flops` real NOT NULL,
	`relative_params` real NOT NULL,
	`flops` real NOT NULL,
	`params` integer NOT NULL,
	`quality` text NOT NULL,
	`latency` text NOT NULL,
	PRIMARY KEY(`model`, `version`, `level`)
);
--> statement-breakpoint
CREATE TABLE `models` (
	`id` text PRIMARY KEY NOT NULL,
	`active_version` text NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `policies` (
	`version` integer PRIMARY KEY NOT NULL,
	`document` text NOT NULL,
	`created_at_ms` integer NOT NULL
);
