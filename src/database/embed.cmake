# Embeds src/database/migrations/<engine>/NNNN_name.sql in the library as <build>/migrations_<engine>.c,
# a table of struct migration (database/migrations.h) in order of their numbers. The SQL is written as
# bytes, so that any text survives and the checksum is that of the file. Scripts without a number beside
# them (roles.sql) become NUL-terminated texts: <engine>_roles_sql.
#
# As a script (cmake -DENGINE= -DOUTPUT= -DFOLDER= -P embed.cmake) it writes the file; included, it
# declares aegis_embed_migrations(<target> <engine>).

if(CMAKE_SCRIPT_MODE_FILE)
  file(GLOB files "${FOLDER}/[0-9][0-9][0-9][0-9]_*.sql")
  list(SORT files)
  set(body "#include \"database/migrations.h\"\n\n")
  set(table "")
  set(expected 1)
  foreach(file ${files})
    get_filename_component(name "${file}" NAME_WE)
    string(SUBSTRING "${name}" 0 4 digits)
    math(EXPR number "1${digits} - 10000")
    if(NOT number EQUAL expected)
      message(FATAL_ERROR "migration ${expected} is missing before ${name}.sql in ${FOLDER}")
    endif()
    math(EXPR expected "${expected} + 1")
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
    string(APPEND body "static const char sql_${digits}[] = {\n${bytes}0x00};\n\n")
    string(APPEND table "    {.version = ${number}, .name = \"${name}\", .sql = sql_${digits},\n     .length = sizeof sql_${digits} - 1},\n")
  endforeach()
  string(APPEND body "const struct migration migrations_${ENGINE}[] = {\n${table}};\n")
  string(APPEND body "const size_t migrations_${ENGINE}_count =\n    sizeof migrations_${ENGINE} / sizeof migrations_${ENGINE}[0];\n")
  file(GLOB scripts "${FOLDER}/[a-z]*.sql")
  foreach(file ${scripts})
    get_filename_component(name "${file}" NAME_WE)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(APPEND body "extern const char ${ENGINE}_${name}_sql[];\nconst char ${ENGINE}_${name}_sql[] = {\n${bytes}0x00};\n")
  endforeach()
  file(WRITE "${OUTPUT}" "${body}")
  return()
endif()

set(AEGIS_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

function(aegis_embed_migrations target engine)
  set(folder "${CMAKE_SOURCE_DIR}/src/database/migrations/${engine}")
  set(output "${CMAKE_BINARY_DIR}/generated/migrations_${engine}.c")
  file(GLOB files CONFIGURE_DEPENDS "${folder}/*.sql")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${CMAKE_COMMAND} -DENGINE=${engine} -DOUTPUT=${output} -DFOLDER=${folder} -P ${AEGIS_EMBED_SCRIPT}
    DEPENDS ${files} ${AEGIS_EMBED_SCRIPT}
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
