CREATE TABLE `decisions` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at_ms` integer NOT NULL,
	`request_id` text NOT NULL,
	`model` text NOT NULL,
	`key_id` text,
	`sla_class` text,
	`policy_version` integer NOT NULL,
	`status` integer NOT NULL,
	`weight` real NOT NULL,
	`record` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `decisions_at` ON `decisions` (`at_ms`);--> statement-breakpoint
CREATE TABLE `operator_tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`role` text NOT NULL,
	`prefix` text NOT NULL,
	`salt` text NOT NULL,
	`hash` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	`revoked_at_ms` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `operator_tokens_prefix` ON `operator_tokens` (`prefix`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `previous_salt` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `previous_hash` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `previous_until_ms` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `classes` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `models` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `rate_limit` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `budget` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `budget_revision` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `may_explain` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `policies` ADD `created_by` text;--> statement-breakpoint
ALTER TABLE `policies` ADD `rollback_to` integer;