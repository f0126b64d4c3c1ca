ALTER TABLE `operator_tokens` DROP COLUMN `earlier_secrets`;--> statement-breakpoint
ALTER TABLE `nodes` DROP COLUMN `earlier_secrets`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `earlier_secrets`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0004_earlier_secrets.sql';
