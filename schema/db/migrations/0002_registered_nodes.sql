CREATE TABLE `nodes` (
	`name` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`node_class` text NOT NULL,
	`draining` integer NOT NULL,
	`prefix` text NOT NULL,
	`salt` text NOT NULL,
	`hash` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`heard_at_ms` integer,
	`report` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `nodes_prefix` ON `nodes` (`prefix`);--> statement-breakpoint
CREATE UNIQUE INDEX `nodes_url` ON `nodes` (`url`);