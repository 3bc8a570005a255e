DROP TABLE frozen_figures_of_users;
DROP TABLE frozen_figures;
