-- Raw rows cost far more space than figures. A frozen date keeps its figures, so that its raw rows may be dropped.

CREATE TABLE frozen_figures (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT frozen_figures_is_only CHECK (is_only),
    frozen_before date NOT NULL CONSTRAINT frozen_figures_frozen_before CHECK (isfinite(frozen_before)),
    frozen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE frozen_figures IS 'One row at most: the dates whose figures are frozen for all users. worker freeze writes it';
COMMENT ON COLUMN frozen_figures.frozen_before IS 'Figures of local dates before this one never change. A changed raw row of such a date is in rejected_rows with the reason frozen';
COMMENT ON COLUMN frozen_figures.frozen_at IS 'When this date was set';

CREATE TABLE frozen_figures_of_users (
    user_id bigint PRIMARY KEY,
    frozen_before date NOT NULL CONSTRAINT frozen_figures_of_users_frozen_before CHECK (isfinite(frozen_before)),
    frozen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE frozen_figures_of_users IS 'The dates whose figures are frozen for single users. Of this date and that for all users, the later one holds';
COMMENT ON COLUMN frozen_figures_of_users.frozen_before IS 'Figures of the user''s local dates before this one never change';
COMMENT ON COLUMN frozen_figures_of_users.frozen_at IS 'When this date was set';
