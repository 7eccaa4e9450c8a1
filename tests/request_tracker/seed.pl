# Sets up a Request Tracker for the tests, with its own API: custom fields, one queue and one user with limited rights for each
# test, and people. Prints a line for each slot (queue, user, token), and one for the people's token.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;

my $slots = shift @ARGV;
my $system = RT->SystemUser;
# Hundreds of small transactions, on a database that nobody would miss: without waiting for the disk each time.
$RT::Handle->dbh->do('PRAGMA synchronous = OFF');

sub must {
    my ( $ok, $message ) = @_;
    die( ( $message // 'failed' ) . "\n" ) unless $ok;
    return $ok;
}

my $flag = RT::CustomField->new($system);
must( $flag->Create(
    Name       => 'synchronizeWithGoogleCloudSupport',
    Type       => 'SelectSingle',
    LookupType => 'RT::Queue-RT::Ticket',
) );
for my $value ( 'true', 'false' ) { must( $flag->AddValue( Name => $value ) ) }
my $name = RT::CustomField->new($system);
must( $name->Create(
    Name       => 'custom_field_google_name',
    Type       => 'FreeformSingle',
    LookupType => 'RT::Queue-RT::Ticket',
) );

my $state = RT::CustomField->new($system);
must( $state->Create(
    Name       => 'Google state',
    Type       => 'FreeformSingle',
    LookupType => 'RT::Queue-RT::Ticket',
) );
# Fields that routes and the choice of a Google project go by.
my @texts;
for my $title ( 'Google project', 'Team' ) {
    my $text = RT::CustomField->new($system);
    must( $text->Create( Name => $title, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket' ) );
    push @texts, $text;
}

sub user {
    my ( $name, $real_name ) = @_;
    my $user = RT::User->new($system);
    must( $user->Create( Name => $name, RealName => $real_name, Privileged => 1, Password => 'for tests only' ) );
    return $user;
}

sub token {
    my $user  = shift;
    my $token = RT::AuthToken->new($system);
    my ( $ok, $message, $secret ) = $token->Create( Owner => $user->Id, Description => 'tests' );
    must( $ok, $message );
    return $secret;
}

for my $person ( [ 'jane', 'Jane Roe' ], [ 'joe', 'Joe Bloggs' ] ) {
    my $user = user(@$person);
    must( $user->PrincipalObj->GrantRight( Right => 'SuperUser', Object => $RT::System ) );
    print join( "\t", $person->[0], token($user) ), "\n";
}

# What docs/crm-request-tracker.md asks for, and no more.
my @rights = qw(SeeQueue CreateTicket ShowTicket ShowTicketComments CommentOnTicket ReplyToTicket ModifyTicket);
my @field_rights = qw(SeeCustomField ModifyCustomField);
for my $slot ( 1 .. $slots ) {
    my $queue = RT::Queue->new($system);
    must( $queue->Create( Name => "Support $slot" ) );
    for my $field ( $flag, $name, $state, @texts ) { must( $field->AddToObject($queue) ) }
    my $user = user( "casebridge-$slot", "Casebridge $slot" );
    for my $right (@rights) {
        must( $user->PrincipalObj->GrantRight( Right => $right, Object => $queue ) );
    }
    for my $field ( $flag, $name, $state, @texts ) {
        for my $right (@field_rights) {
            must( $user->PrincipalObj->GrantRight( Right => $right, Object => $field ) );
        }
    }
    print join( "\t", $queue->Name, $user->Name, token($user) ), "\n";
}
