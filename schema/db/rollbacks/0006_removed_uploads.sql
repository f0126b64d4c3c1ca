DROP TABLE `removed_uploads`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0006_removed_uploads.sql';
