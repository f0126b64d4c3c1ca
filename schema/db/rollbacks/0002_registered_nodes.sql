DROP TABLE `nodes`;--> statement-breakpoint
DELETE FROM `d1_migrations` WHERE `name` = '0002_registered_nodes.sql';
