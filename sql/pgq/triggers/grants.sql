-- Whoever may write a table with one of the triggers runs these with it. All but the last only read the catalogue or
-- nothing at all, and the last asks who calls. Who may create such a trigger is pgq_writer's matter.
grant execute on function
    pgq._urlencode(text), pgq._row_values(text), pgq._is_changed(oid, oid, text, text),
    pgq._urlencode_row(text[], text[]), pgq._json_type(text, text, text, text[]),
    pgq._json_row(text[], oid[], text[], json),
    pgq._listed_columns(text, text[]),
    pgq._sql_row(text, text[], integer[], boolean[], integer[], text[], text[]),
    pgq._trigger_events(text, text, text, text, oid, text, text, text[], text, text, json, json),
    pgq._trigger_expression(text, text[]), pgq._trigger_expressions(text[], text[], anyelement),
    pgq._insert_trigger_event(text, text, text, text, text, text, text)
to public;
