DROP TABLE `audit`;--> statement-breakpoint
DROP TABLE `api_keys`;--> statement-breakpoint
DROP TABLE `policies`;--> statement-breakpoint
DROP TABLE `levels`;--> statement-breakpoint
DROP TABLE `artifact_versions`;--> statement-breakpoint
DROP TABLE `models`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0000_first.sql';
