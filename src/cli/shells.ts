/** The completion functions of shells. All they know is how to ask (complete.ts), and that FILES means files. */
import { FILES } from './complete.js';

export type Shell = 'bash' | 'zsh';

export const SHELLS: Readonly<Record<Shell, string>> = {
  bash: `_dbproxy() {
  local found
  COMPREPLY=()
  while IFS= read -r found; do
    if [[ $found == ${FILES} ]]; then compopt -o default 2>/dev/null
    else COMPREPLY+=("$found"); fi
  done < <("$1" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _dbproxy dbproxy
`,
  zsh: `_dbproxy() {
  local -a found
  found=("\${(@f)$("$words[1]" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=(\${found:#})
  if (( \${found[(I)${FILES}]} )); then _files; fi
  found=(\${found:#${FILES}})
  (( $#found )) && compadd -a found
}
compdef _dbproxy dbproxy
`,
};
