from boardsae.cli import main

main()
