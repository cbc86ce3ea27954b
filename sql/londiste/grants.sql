-- Who may do what: londiste_writer changes the set-up, londiste_reader looks at it. The roles are created where the
-- installing role may; grants go to those that exist. Run after schema pgq's grants.
do $grants$
declare
    v_role record;
    v_function text;
    v_grantees text;
begin
    for v_role in
        select r.name, r.parent
          from (values ('londiste_writer', 'pgq_admin'), ('londiste_reader', 'pgq_reader')) r (name, parent)
    loop
        begin
            if pg_catalog.to_regrole(v_role.name) is null then
                execute pg_catalog.format('create role %I', v_role.name);
            end if;
            if pg_catalog.to_regrole(v_role.parent) is not null
               and not pg_catalog.pg_has_role(v_role.name, v_role.parent, 'MEMBER') then
                execute pg_catalog.format('grant %I to %I', v_role.parent, v_role.name);
            end if;
        exception
            when insufficient_privilege then
                raise notice 'Cannot create role % as a member of %: "%" has no CREATEROLE.', v_role.name, v_role.parent,
                      current_user;
            when duplicate_object or unique_violation then null;    -- another database of the cluster was quicker
        end;
    end loop;

    grant usage on schema londiste to public;
    grant select on londiste.table_info, londiste.seq_info, londiste.applied_execute, londiste.pending_fkeys to public;
    if pg_catalog.to_regrole('pgq_admin') is not null then
        grant select, insert, update, delete
              on londiste.table_info, londiste.seq_info, londiste.applied_execute, londiste.pending_fkeys to pgq_admin;
    end if;
    if pg_catalog.to_regrole('londiste_writer') is not null then
        grant usage on londiste.table_info_nr_seq, londiste.seq_info_nr_seq to londiste_writer;
    end if;

    for v_function, v_grantees in
        select p.oid::pg_catalog.regprocedure::text,
               case when p.proname in ('get_table_list', '_coordinate_copy', 'get_seq_list')
                    then 'londiste_writer,londiste_reader'
                    when p.proname in ('root_check_seqs', 'periodic_maintenance') then 'londiste_writer,pgq_admin'
                    else 'londiste_writer'
               end
          from pg_catalog.pg_proc p
         where p.pronamespace = 'londiste'::pg_catalog.regnamespace
           and p.proname not in ('find_column_types', 'find_rel_oid', 'find_seq_oid', 'find_table_fkeys', 'find_table_oid',
                                 'is_replica_func', 'make_fqname', 'quote_fqname', 'split_fqname', 'version')
    loop
        execute pg_catalog.format('revoke all on function %s from public', v_function);
        foreach v_role.name in array pg_catalog.string_to_array(v_grantees, ',') loop
            if pg_catalog.to_regrole(v_role.name) is not null then
                execute pg_catalog.format('grant execute on function %s to %I', v_function, v_role.name);
            end if;
        end loop;
    end loop;
end;
$grants$;
