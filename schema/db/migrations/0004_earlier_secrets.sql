ALTER TABLE `api_keys` ADD `earlier_secrets` text;--> statement-breakpoint
ALTER TABLE `nodes` ADD `earlier_secrets` text;--> statement-breakpoint
ALTER TABLE `operator_tokens` ADD `earlier_secrets` text;