ALTER TABLE `nodes` ADD `previous_salt` text;--> statement-breakpoint
ALTER TABLE `nodes` ADD `previous_hash` text;--> statement-breakpoint
ALTER TABLE `nodes` ADD `previous_until_ms` integer;--> statement-breakpoint
ALTER TABLE `operator_tokens` ADD `previous_salt` text;--> statement-breakpoint
ALTER TABLE `operator_tokens` ADD `previous_hash` text;--> statement-breakpoint
ALTER TABLE `operator_tokens` ADD `previous_until_ms` integer;