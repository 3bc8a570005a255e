DROP FUNCTION figure_changes_since(text, integer);
DROP VIEW figure_changes_settled;
DROP TABLE figure_webhook, figure_changes, figure_feed;
