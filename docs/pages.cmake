# Writes docs/cli.md and docs/configuration.md as the program prints them (`make docs`), or with
# -DCOMPARE=ON fails if they differ: cmake -DAEGIS= -DDOCS= -DOUTPUT= [-DCOMPARE=ON] -P pages.cmake
file(MAKE_DIRECTORY ${OUTPUT})
foreach(page cli configuration)
  execute_process(COMMAND ${AEGIS} help --markdown ${page} OUTPUT_FILE ${OUTPUT}/${page}.md
                  COMMAND_ERROR_IS_FATAL ANY)
  file(SHA256 ${OUTPUT}/${page}.md printed)
  file(SHA256 ${DOCS}/${page}.md written)
  if(NOT printed STREQUAL written)
    if(COMPARE)
      message(SEND_ERROR "docs/${page}.md is not what the program prints; `make docs` writes it anew")
    else()
      configure_file(${OUTPUT}/${page}.md ${DOCS}/${page}.md COPYONLY)
      message(STATUS "docs/${page}.md is written anew")
    endif()
  endif()
endforeach()
