ALTER TABLE `operator_tokens` DROP COLUMN `previous_until_ms`;--> statement-breakpoint
ALTER TABLE `operator_tokens` DROP COLUMN `previous_hash`;--> statement-breakpoint
ALTER TABLE `operator_tokens` DROP COLUMN `previous_salt`;--> statement-breakpoint
ALTER TABLE `nodes` DROP COLUMN `previous_until_ms`;--> statement-breakpoint
ALTER TABLE `nodes` DROP COLUMN `previous_hash`;--> statement-breakpoint
ALTER TABLE `nodes` DROP COLUMN `previous_salt`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0003_rotated_tokens.sql';
