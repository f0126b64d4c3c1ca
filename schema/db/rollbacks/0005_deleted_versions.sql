ALTER TABLE `models` DROP COLUMN `versions_deleted`;--> statement-breakpoint
DROP TABLE `deleted_versions`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0005_deleted_versions.sql';
