DROP TABLE `decisions`;--> statement-breakpoint
DROP TABLE `operator_tokens`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `previous_salt`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `previous_hash`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `previous_until_ms`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `classes`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `models`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `rate_limit`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `budget`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `budget_revision`;--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `may_explain`;--> statement-breakpoint
ALTER TABLE `policies` DROP COLUMN `created_by`;--> statement-breakpoint
ALTER TABLE `policies` DROP COLUMN `rollback_to`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0001_keys_roles_decisions.sql';
